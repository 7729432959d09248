/** The edge worker: `export { default } from "offswitch/worker"`. */
declare const worker: {
  fetch(
    request: Request,
    env: Record<string, unknown>,
    context: { waitUntil(work: Promise<unknown>): void },
  ): Promise<Response>;
};
export default worker;
