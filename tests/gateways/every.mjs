// All gateways.

export { caddy } from "./caddy.mjs";
export { envoyByGrpc, envoyByHttp } from "./envoy.mjs";
export { haproxy } from "./haproxy.mjs";
export { nginx } from "./nginx.mjs";
export { traefik } from "./traefik.mjs";
