import { join } from "node:path";

// As in a monorepo, the packages are in the parent folder.
const root = join(import.meta.dirname, "..");

export default { outputFileTracingRoot: root, turbopack: { root } };
