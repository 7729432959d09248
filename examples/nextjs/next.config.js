// The folder with package-lock.json. Next would guess it, wrongly if a folder above has one too.
const root = import.meta.dirname;

export default { outputFileTracingRoot: root, turbopack: { root } };
