import { Verifier } from "offswitch";
import { makeApp } from "./app.js";
import { options } from "./options.js";

let verifier;
export default makeApp((c) => (verifier ??= new Verifier(options(c.env))));
