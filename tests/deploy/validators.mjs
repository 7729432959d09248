// The validators from PyPI.

import { fileURLToPath } from "node:url";
import { pythonWith } from "../support/python.mjs";

/** The Python that has them. */
export const validator = () => pythonWith(fileURLToPath(new URL("requirements.txt", import.meta.url)));
