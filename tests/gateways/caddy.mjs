import { fileOf } from "./guide.mjs";
import { installed, Server } from "./processes.mjs";

export const caddy = {
  name: "Caddy",
  dialect: "caddy",
  async start(system, edit = (text) => text) {
    const { certificate, key } = system.certificate();
    const text = fileOf("caddy", "Caddyfile", {
      ...system.addresses, ":8443": `:${system.port}`,
      "/etc/caddy/tls.crt": certificate, "/etc/caddy/tls.key": key,
    });
    const file = await system.write("Caddyfile", edit(text));
    const command = [installed("caddy"), "run", "--adapter", "caddyfile", "--config", file];
    return new Server(command, system.port, { XDG_DATA_HOME: system.folder, XDG_CONFIG_HOME: system.folder });
  },
  /** The configuration without the guard. */
  unguarded: (text) => text.replace(/\t\tforward_auth .*?\n\t\t\}\n/s, ""),
};
