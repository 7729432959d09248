// The edge worker in real workerd, where requests share values and never promises.

import { startEdge } from "../support/workerd.mjs";
import { crowds } from "./crowd.mjs";

crowds("workerd", startEdge);
