import { fileOf } from "./guide.mjs";
import { installed, Server } from "./processes.mjs";

export const nginx = {
  name: "nginx",
  dialect: "nginx",
  async start(system, edit = (text) => text) {
    const { certificate, key } = system.certificate();
    const text = fileOf("nginx", "nginx.conf", {
      ...system.addresses, "8443": `127.0.0.1:${system.port}`,
      "/etc/nginx/tls.crt": certificate, "/etc/nginx/tls.key": key,
      "/var/log/nginx/guarded.log": `${system.folder}/access.log`,
    });
    const file = await system.write("nginx.conf", edit(text));
    const command = [installed("nginx"), "-c", file, "-p", system.folder, "-e", "stderr"];
    return new Server([...command, "-g", `daemon off; pid ${system.folder}/nginx.pid;`], system.port);
  },
  /** The configuration without the guard. */
  unguarded: (text) => text.replace("auth_request /guard;", "auth_request off;"),
};
