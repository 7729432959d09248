import { expectGateway } from "./cases.mjs";
import { caddy } from "./caddy.mjs";

expectGateway(caddy);
