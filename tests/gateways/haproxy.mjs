import { fileOf } from "./guide.mjs";
import { installed, Server } from "./processes.mjs";

export const haproxy = {
  name: "HAProxy",
  dialect: "haproxy",
  refusesTrailers: true,
  async start(system, edit = (text) => text) {
    const { both } = system.certificate();
    const { "127.0.0.1:8410": guard, ...addresses } = system.addresses;
    const script = await system.write("offswitch.lua", fileOf("haproxy", "offswitch.lua", { "127.0.0.1:8410": guard }));
    const text = fileOf("haproxy", "haproxy.cfg", {
      ...addresses, ":8443": `127.0.0.1:${system.port}`,
      "/etc/haproxy/tls.pem": both, "/etc/haproxy/offswitch.lua": script,
    });
    const file = await system.write("haproxy.cfg", edit(text));
    return new Server([installed("haproxy"), "-db", "-f", file], system.port);
  },
  /** The configuration without the guard. */
  unguarded: (text) => text.replace("  http-request lua.offswitch\n", ""),
};
