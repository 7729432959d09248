import { createVerifier } from "offswitch";
import { options } from "./options.js";

// The test asks it as a page would ask itself.
window.start = async (env) => {
  window.verifier = await createVerifier(options(env));
};
