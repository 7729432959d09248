// The image runs as what it says: a container without root, with a read-only root and one volume, in runc. It contains the program
// that the tests use. `IMAGE=../target/image node --test deploy/image.test.mjs` takes the image of `cargo xtask image` instead,
// and then checks its size and what it is made of, too. O01.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { parse } from "yaml";
import { readText } from "../documents/files.mjs";
import { buildBinary } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { Container, Image, pack, withoutContainers } from "./image.mjs";

const BUILT = process.env.IMAGE;
const folder = mkdtempSync(join(tmpdir(), "offswitch-image-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let image;
before(() => {
  if (BUILT) {
    image = new Image(resolve(BUILT));
    return;
  }
  // Without symbols, as small as it would be in an image.
  const program = join(folder, "offswitch");
  execFileSync("strip", ["-o", program, buildBinary("offswitch")]);
  image = pack(program, join(folder, "image"));
}, { timeout: 300_000 });

test("the image runs without root, with a read-only root and one volume, and stops when it is asked to", { skip: withoutContainers, timeout: 120_000 }, async () => {
  const container = new Container(image, folder);
  after(() => container.remove());
  const { Entrypoint: [program], Healthcheck: { Test: [kind, ...check] } } = image.configuration.config;
  assert.deepEqual([kind, check[0]], ["CMD", program]);
  container.start();
  assert.ok(await until(() => container.run(check).status === 0, 30), container.log);
  assert.equal(container.ask("http://127.0.0.1:8400/readyz")[0], 200);

  // The check is of this server: where there is none, it fails.
  assert.notEqual(container.run(check, { OFFSWITCH_LISTEN: "127.0.0.1:1" }).status, 0);
  const status = container.proc("status");
  for (const id of ["Uid", "Gid"]) assert.match(status, new RegExp(`^${id}:(\\s65532){4}$`, "m"));
  assert.match(status, /^CapEff:\s0{16}$/m);
  const mounted = container.proc("mountinfo").split("\n").map((line) => line.split(" "));
  const optionsOf = (path) => mounted.find(([, , , , place]) => place === path)[5].split(",");
  assert.ok(optionsOf("/").includes("ro"));
  assert.ok(optionsOf("/data").includes("rw"));
  assert.ok(readdirSync(join(folder, "volume")).includes("admin.key"));

  assert.equal(await container.stop("TERM"), 0, container.log);
});

test("the image has its program, users, certificates and a volume, and no other program", { skip: withoutContainers }, () => {
  const root = image.unpack(join(folder, "unpacked"));
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((one) => !one.isDirectory());
  const names = files.map((one) => join(one.parentPath, one.name).slice(root.length));
  const libraries = names.filter((name) => /^\/(usr\/)?lib(64)?\//.test(name));
  assert.deepEqual(names.filter((name) => !libraries.includes(name)).sort(), [
    "/etc/group", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt", "/usr/bin/offswitch",
    "/usr/share/doc/offswitch/LICENSE-APACHE", "/usr/share/doc/offswitch/LICENSE-MIT",
  ]);
  assert.ok(files.every((one) => one.isFile()));
  const { User, Volumes } = image.configuration.config;
  assert.match(User, /^[1-9]\d*:[1-9]\d*$/, "Kubernetes sees that it is not root only by a number");
  assert.match(readFileSync(join(root, "etc/passwd"), "utf8"), new RegExp(`^offswitch:x:${User}:`, "m"));
  const data = statSync(join(root, ...Object.keys(Volumes)));
  assert.deepEqual([`${data.uid}:${data.gid}`, data.mode & 0o7777], [User, 0o700]);
  const certificates = readFileSync(join(root, "etc/ssl/certs/ca-certificates.crt"), "utf8").split(/(?<=-----END CERTIFICATE-----\n)/);
  assert.ok(certificates.length > 100);
  for (const one of certificates) assert.ok(new X509Certificate(one).ca);
});

test("the same program makes the same image, whenever and from wherever", () => {
  const hashesOf = (program, output) => {
    const { output: written } = pack(program, join(folder, output));
    const names = readdirSync(written, { recursive: true }).filter((name) => statSync(join(written, name)).isFile()).sort();
    assert.ok(names.length > 5);
    return names.map((name) => [name, createHash("sha256").update(readFileSync(join(written, name))).digest("hex")]);
  };
  const [one, another, changed] = ["one", "another", "changed"].map((name) => join(folder, name));
  copyFileSync("/bin/true", one);
  copyFileSync(one, another);
  utimesSync(another, 1, 1);
  copyFileSync(one, changed);
  writeFileSync(changed, "!", { flag: "a" });
  const expected = hashesOf(one, "first");
  assert.deepEqual(hashesOf(another, "second"), expected);
  assert.notDeepEqual(hashesOf(changed, "third"), expected);
});

test("Docker, Compose and the chart give the image one name", () => {
  const [file, ...more] = readdirSync(image.output).filter((name) => name.endsWith(".tar"));
  assert.deepEqual(more, []);
  const archive = join(image.output, file);
  const read = (name) => execFileSync("tar", ["-xOf", archive, name], { maxBuffer: 1 << 28 });
  const [{ Config, Layers, RepoTags: [name] }] = JSON.parse(read("manifest.json"));
  assert.deepEqual(read(Config), image.blob(image.manifest.config));
  assert.deepEqual(Layers.map(read), image.manifest.layers.map((layer) => image.blob(layer)));
  assert.deepEqual(JSON.parse(read("index.json")).manifests, [image.listed]);
  assert.equal(image.listed.annotations["io.containerd.image.name"], `docker.io/library/${name}`);

  const { services } = parse(readText("deploy/compose/compose.yaml"));
  for (const service of ["control-plane", "guard"]) assert.equal(services[service].image, `\${OFFSWITCH_IMAGE:-${name}}`);
  const { repository, tag } = parse(readText("deploy/helm/offswitch/values.yaml")).image;
  assert.equal(`${repository}:${tag || parse(readText("deploy/helm/offswitch/Chart.yaml")).appVersion}`, name);
});

test("the labels say what the image is made from", () => {
  const { Labels } = image.configuration.config;
  const label = (name) => Labels[`org.opencontainers.image.${name}`];
  assert.equal(label("version"), image.tag);
  assert.match(label("revision"), /^[0-9a-f]{40}(-dirty)?$/);
  assert.match(label("created"), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(label("licenses"), "MIT OR Apache-2.0");
  assert.equal(label("source"), "https://github.com/offswitch/offswitch");
  assert.deepEqual(image.manifest.annotations, Labels);
});

// A12
test("the image of a release is small, static, and has a list of what it is made of", { skip: !BUILT && "needs IMAGE" }, () => {
  const [layer] = image.manifest.layers;
  const files = execFileSync("tar", ["-tz"], { input: image.blob(layer), encoding: "utf8" });
  assert.doesNotMatch(files, /^(usr\/)?lib/m);
  const unpacked = gunzipSync(image.blob(layer)).length;
  assert.ok(unpacked < 40e6, `${unpacked} bytes`);
  const [crates, page] = image.artifacts.map(({ artifactType, subject, layers: [content] }) => {
    assert.equal(artifactType, "application/vnd.cyclonedx+json");
    assert.equal(subject.digest, image.listed.digest);
    const text = image.blob(content).toString();
    assert.doesNotMatch(text, /serialNumber|\/root\/|\/home\//);
    return JSON.parse(text);
  });
  const names = (list) => list.components.map(({ name }) => name);
  for (const name of ["ring", "redb", "offswitch-guard", "libmimalloc-sys"]) assert.ok(names(crates).includes(name), name);
  for (const name of ["proptest", "xtask", "rcgen"]) assert.ok(!names(crates).includes(name), name);
  for (const name of ["preact", "uplot"]) assert.ok(names(page).includes(name), name);
  for (const name of ["vite", "express"]) assert.ok(!names(page).includes(name), name);
});
