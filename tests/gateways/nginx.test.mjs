import { expectGateway } from "./cases.mjs";
import { nginx } from "./nginx.mjs";

expectGateway(nginx);
