// How long workerd takes from the module's start to the first verdict, without a snapshot.

import { startWorkerd } from "../support/workerd.mjs";
import { median } from "./clock.mjs";

/** @returns {Promise<number[]>} milliseconds, of so many fresh processes */
export async function measureStart(material, processes) {
  const { jwk, tokens } = material.algorithms.EdDSA;
  const body = JSON.stringify({ jwk, token: tokens[0], publicKey: material.publicKey });
  const times = [];
  for (let process = 0; process < processes; process += 1) {
    const workerd = await startWorkerd("tests/bench/start-entry.mjs");
    try {
      const ask = async (how) => {
        const began = performance.now();
        const response = await fetch(workerd.url, how);
        return { text: await response.text(), took: performance.now() - began };
      };
      const bare = [];
      for (let round = 0; round < 20; round += 1) bare.push((await ask()).took);
      const { text, took } = await ask({ method: "POST", body });
      if (JSON.parse(text).code !== "no_snapshot") throw new Error(text);
      times.push(took - median(bare));
    } finally {
      await workerd.close();
    }
  }
  return times;
}
