import { expectGateway } from "./cases.mjs";
import { traefik } from "./traefik.mjs";

expectGateway(traefik);
