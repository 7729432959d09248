import { fileOf } from "./guide.mjs";
import { fromPyPi, Server } from "./processes.mjs";

export const traefik = {
  name: "Traefik",
  dialect: "traefik",
  async start(system, edit = (text) => text) {
    const { certificate, key } = system.certificate();
    const routes = await system.write("routes.yml", edit(fileOf("traefik", "routes.yml", {
      ...system.addresses, "/etc/traefik/tls.crt": certificate, "/etc/traefik/tls.key": key,
    })));
    const file = await system.write("traefik.yml", fileOf("traefik", "traefik.yml", {
      ":8443": `127.0.0.1:${system.port}`, "/etc/traefik/routes.yml": routes,
    }));
    return new Server([fromPyPi("traefik"), `--configFile=${file}`], system.port);
  },
  /** The configuration without the guard. */
  unguarded: (text) => text.replaceAll("      middlewares: [guard]\n", ""),
};
