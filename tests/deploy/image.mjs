// An image that `cargo xtask image` wrote: its parts, and a container of it in runc, which umoci unpacks.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../gateways/processes.mjs";
import { ROOT } from "../support/fixture.mjs";

/** Why containers cannot run here, or `false`. */
export const withoutContainers = (() => {
  if (process.platform !== "linux" || process.getuid() !== 0) return "containers need root on Linux";
  if (spawnSync("unshare", ["--mount", "--net", "--pid", "--fork", "true"]).status !== 0) return "this machine makes no namespaces";
  const missing = ["runc", "umoci"].find((name) => spawnSync(name, ["--version"]).status !== 0);
  return missing !== undefined && `${missing} is missing: install it (Debian: ${missing})`;
})();

/** Packs a program into the folder `output`. @param {string} binary @param {string} output */
export function pack(binary, output) {
  const packed = spawnSync("cargo", ["xtask", "image", "--binary", binary, "--output", output], { cwd: ROOT, encoding: "utf8" });
  if (packed.status !== 0) throw new Error(packed.stderr);
  return new Image(output);
}

export class Image {
  /** @param {string} output the folder that was written */
  constructor(output) {
    this.output = output;
    this.layout = join(output, "oci");
    this.index = JSON.parse(readFileSync(join(this.layout, "index.json"), "utf8"));
    this.listed = this.index.manifests[0];
    this.tag = this.listed.annotations["org.opencontainers.image.ref.name"];
    this.manifest = this.json(this.listed);
    this.configuration = this.json(this.manifest.config);
  }

  /** The content of a blob, which must be what its descriptor says. */
  blob({ digest, size }) {
    const content = readFileSync(join(this.layout, "blobs", ...digest.split(":")));
    const found = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    if (found !== digest || content.length !== size) throw new Error(`a blob is ${found}, its descriptor says ${digest}`);
    return content;
  }

  json(descriptor) {
    return JSON.parse(this.blob(descriptor).toString());
  }

  /** The manifests that describe the image, such as its SBOMs. */
  get artifacts() {
    return this.index.manifests.slice(1).map((one) => this.json(one));
  }

  /** Unpacks it to the folder `bundle`; returns its root. */
  unpack(bundle) {
    execFileSync(installed("umoci"), ["unpack", "--image", `${this.layout}:${this.tag}`, bundle], { stdio: "pipe" });
    return join(bundle, "rootfs");
  }
}

/** A container as the image describes it, with a read-only root, no capabilities, and a volume. */
export class Container {
  #id = `offswitch-test-${process.pid}`;
  #bundle;
  #child;
  log = "";

  /** @param {Image} image @param {string} folder where it is unpacked */
  constructor(image, folder) {
    this.#bundle = join(folder, "bundle");
    this.root = image.unpack(this.#bundle);
    const volume = join(folder, "volume");
    mkdirSync(volume);
    chmodSync(volume, 0o700);
    const file = join(this.#bundle, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8"));
    const { uid, gid } = config.process.user;
    chownSync(volume, uid, gid);
    config.root.readonly = true;
    config.process.terminal = false;
    config.process.capabilities = {};
    const [path] = Object.keys(image.configuration.config.Volumes);
    const mount = { destination: path, type: "bind", source: volume, options: ["bind", "rw", "nosuid", "nodev", "noexec"] };
    config.mounts = [...config.mounts.filter(({ destination }) => destination !== path), mount];
    writeFileSync(file, JSON.stringify(config));
  }

  start() {
    this.#child = spawn(installed("runc"), ["run", "--bundle", this.#bundle, this.#id], { stdio: ["ignore", "pipe", "pipe"] });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output.setEncoding("utf8").on("data", (text) => { this.log += text; });
    }
    this.ended = new Promise((resume) => this.#child.once("exit", resume));
  }

  /** Runs a command in it, with more variables. @param {string[]} command @param {Record<string, string>} [env] */
  run(command, env = {}) {
    const variables = Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
    return spawnSync("runc", ["exec", ...variables, this.#id, ...command], { encoding: "utf8" });
  }

  /** The status and the text that a server in it answers. @param {string} url */
  ask(url) {
    const script = `const answer = await fetch(${JSON.stringify(url)}); console.log(JSON.stringify([answer.status, await answer.text()]))`;
    const node = [process.execPath, "--input-type=module", "--eval", script];
    return JSON.parse(execFileSync("nsenter", ["--target", String(this.pid), "--net", ...node], { encoding: "utf8" }));
  }

  /** What the kernel says about its process: a file of /proc. @param {string} name */
  proc(name) {
    return readFileSync(`/proc/${this.pid}/${name}`, "utf8");
  }

  get pid() {
    return JSON.parse(execFileSync("runc", ["state", this.#id], { encoding: "utf8" })).pid;
  }

  /** Asks it to stop; its exit code. @param {string} signal */
  async stop(signal) {
    execFileSync("runc", ["kill", this.#id, signal]);
    return this.ended;
  }

  remove() {
    spawnSync("runc", ["delete", "--force", this.#id]);
  }
}
