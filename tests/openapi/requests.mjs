// Requests that are made only from an API description: its examples, with `{name}` filled from answers.

/** One operation with one of its examples. */
export class Sample {
  constructor(operation, label, mediaType, example) {
    Object.assign(this, { operation, label, mediaType, example });
  }

  /** The names that must be known before the request can be sent. */
  get needs() {
    const values = this.operation.parameters.filter(isSent).map((one) => one.example);
    const text = JSON.stringify([values, this.example ?? null]);
    return [...new Set([...text.matchAll(PLACEHOLDER)].map(([, name]) => name))];
  }
}

/** Every operation of a description, once for each example of its body. */
export function samplesOf(description) {
  const samples = [];
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const { parameters = [], requestBody, responses, security, operationId } = described;
      const operation = { path, method, parameters, responses, security, operationId };
      const contents = Object.entries(requestBody?.content ?? {});
      for (const [mediaType, { example, examples = {} }] of contents) {
        if (example !== undefined) samples.push(new Sample(operation, mediaType, mediaType, example));
        for (const [name, { value }] of Object.entries(examples)) {
          samples.push(new Sample(operation, name, mediaType, value));
        }
      }
      if (contents.length === 0) samples.push(new Sample(operation, "", null, undefined));
    }
  }
  return samples;
}

/** Sends a sample; `known` has a value for each name that it needs. */
export async function send(origin, apiKey, sample, known) {
  const { operation, mediaType } = sample;
  const fill = (text) => text.replace(PLACEHOLDER, (_, name) => known.get(name));
  const url = new URL(origin);
  let path = operation.path;
  const headers = {};
  for (const parameter of operation.parameters.filter(isSent)) {
    const value = fill(String(parameter.example));
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    if (parameter.in === "query") url.searchParams.set(parameter.name, value);
    if (parameter.in === "header") headers[parameter.name] = value;
  }
  if (operation.security?.some((one) => one.api_key)) headers.authorization = `Bearer ${apiKey}`;
  const body = mediaType === null ? undefined : encoded(mediaType, sample.example, fill);
  if (body !== undefined) headers["content-type"] = mediaType;
  const stop = new AbortController();
  const method = operation.method.toUpperCase();
  const options = { method, headers, body, signal: stop.signal };
  const response = await fetch(`${origin}${path}${url.search}`, options);
  if (response.headers.get("content-type") === "text/event-stream") {
    const { value } = await response.body.getReader().read();
    stop.abort();
    return { status: response.status, text: new TextDecoder().decode(value) };
  }
  return { status: response.status, text: await response.text() };
}

function encoded(mediaType, example, fill) {
  if (mediaType === "application/x-www-form-urlencoded") {
    const fields = Object.entries(example).map(([name, value]) => [name, fill(value)]);
    return new URLSearchParams(fields).toString();
  }
  return fill(typeof example === "string" ? example : JSON.stringify(example));
}

/** The required parameters, and those with an example. */
function isSent(parameter) {
  return parameter.required || parameter.example !== undefined;
}

const PLACEHOLDER = /\{([a-z_]+)\}/g;
