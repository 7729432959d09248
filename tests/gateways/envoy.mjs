import { fileOf } from "./guide.mjs";
import { fromPyPi, Server } from "./processes.mjs";

/** @param {string} how @param {string} [filter] the file of the guide with the filter that asks the guard */
const envoy = (how, filter) => ({
  name: `Envoy by ${how}`,
  dialect: "envoy",
  async start(system, edit = (text) => text) {
    const { certificate, key } = system.certificate();
    const ports = Object.entries(system.addresses).map(([documented, actual]) => [documented, actual].map(portOf));
    let text = fileOf("envoy", "envoy.yaml", {
      ...Object.fromEntries(ports.map((pair) => pair.map((port) => `port_value: ${port}`))),
      "port_value: 8443": `port_value: ${system.port}`,
      "/etc/envoy/tls.crt": certificate, "/etc/envoy/tls.key": key,
    });
    if (filter) text = withFilter(text, fileOf("envoy", filter, {}));
    const file = await system.write("envoy.yaml", edit(text));
    const command = [fromPyPi("envoy"), "--use-dynamic-base-id", "--concurrency", "2", "-l", "warn"];
    return new Server([...command, "-c", file], system.port);
  },
  /** The configuration without the guard. */
  unguarded: (text) => withFilter(text, ""),
});

export const envoyByGrpc = envoy("gRPC");
export const envoyByHttp = envoy("HTTP", "ext_authz.yaml");

/** The configuration with another filter in place of the first ext_authz. */
export function withFilter(text, filter) {
  const begin = text.indexOf(`${INDENT}- name: envoy.filters.http.ext_authz\n`);
  const comment = text.indexOf(`${INDENT}# Trailers`, begin);
  if (begin < 0 || comment < 0) throw new Error("the filter ext_authz is not found");
  return text.slice(0, begin) + filter.replaceAll(/^(?=.)/gm, INDENT) + text.slice(comment);
}

const portOf = (address) => address.split(":")[1];
const INDENT = " ".repeat(10);
