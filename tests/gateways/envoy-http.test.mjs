import { expectGateway } from "./cases.mjs";
import { envoyByHttp } from "./envoy.mjs";

expectGateway(envoyByHttp);
