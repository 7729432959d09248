import { createVerifier } from "offswitch";
import { options } from "./options.js";

// The test calls the same function that a page would call.
window.start = async (env) => {
  window.verifier = await createVerifier(options(env));
};
