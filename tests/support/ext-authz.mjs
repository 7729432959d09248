// What Envoy asks over gRPC about a request, and how it is answered: `envoy.service.auth.v3`.

import http2 from "node:http2";

/** The bytes of a CheckRequest, as a message of gRPC. */
export function checkRequest({ method = "GET", path = "/", host = "api.example", headers = {} }) {
  const fields = Object.entries(headers).map(([name, value]) => field(3, Buffer.concat([field(1, name), field(2, value)])));
  const texts = [field(1, "1"), field(2, method), ...fields, field(4, path), field(5, host), field(6, "https")];
  const message = field(1, field(4, field(2, Buffer.concat(texts))));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A client that asks as Envoy does. */
export class ExtAuthz {
  #session;

  /** @param {number} port of 127.0.0.1 */
  constructor(port) {
    this.#session = http2.connect(`http://127.0.0.1:${port}`);
    this.#session.on("error", () => {});
  }

  /** @returns {Promise<{ status: number, headers: Record<string, string> }>} 200 if the request may pass */
  async check(request) {
    const stream = this.#session.request({ ":method": "POST", ":path": CHECK, "content-type": "application/grpc", te: "trailers" });
    stream.end(checkRequest(request));
    let head;
    stream.on("response", (headers) => { head = headers; });
    const parts = [];
    for await (const part of stream) parts.push(part);
    // A process that starts answers so over HTTP alone.
    if (head?.[":status"] !== 200) return { status: head?.[":status"] ?? 0, headers: {} };
    const answer = read(Buffer.concat(parts).subarray(5));
    const denied = answer.get(2)?.[0];
    const response = read(denied ?? answer.get(3)[0]);
    const status = denied ? read(response.get(1)[0]).get(1)[0] : 200;
    const headers = (response.get(2) ?? []).map((option) => {
      const header = read(read(option).get(1)[0]);
      return [header.get(1), header.get(2) ?? [""]].map(([text]) => String(text));
    });
    return { status, headers: Object.fromEntries(headers) };
  }

  close() {
    this.#session.destroy();
  }
}

/** A field of a message that is a text or a message of its own. */
function field(number, value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value >>= 7) bytes.push((value & 127) | 128);
  return Buffer.from([...bytes, value]);
}

/** The fields of a message: numbers, and the bytes of texts and messages. */
function read(bytes) {
  const fields = new Map();
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    let value = number();
    if (tag % 8 === 2) value = bytes.subarray(at, at += value);
    else if (tag % 8 !== 0) throw new Error(`a field of wire type ${tag % 8}`);
    const id = Math.floor(tag / 8);
    fields.set(id, [...(fields.get(id) ?? []), value]);
  }
  return fields;
}

export const CHECK = "/envoy.service.auth.v3.Authorization/Check";
