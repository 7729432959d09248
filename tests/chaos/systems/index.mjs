// The systems by name.

import { Cluster } from "./cluster.mjs";
import { Embedded } from "./embedded.mjs";
import { OneServer } from "./one-server.mjs";
import { Sentinels } from "./sentinels.mjs";

export const SYSTEMS = { "one-server": OneServer, sentinels: Sentinels, cluster: Cluster, embedded: Embedded };
