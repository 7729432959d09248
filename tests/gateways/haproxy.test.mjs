import { expectGateway } from "./cases.mjs";
import { haproxy } from "./haproxy.mjs";

expectGateway(haproxy);
