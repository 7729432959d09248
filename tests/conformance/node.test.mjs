import * as offswitch from "offswitch";
import { expectConformance } from "./expect.mjs";
import { runSuite } from "./suite.mjs";

expectConformance("Node", async (data) => runSuite(offswitch, data));
