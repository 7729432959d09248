import { expectGateway } from "./cases.mjs";
import { envoyByGrpc } from "./envoy.mjs";

expectGateway(envoyByGrpc);
