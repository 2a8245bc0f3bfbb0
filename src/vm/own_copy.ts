let copies = 0;
/** What tools put into functions that is not theirs: esbuild (keepNames), coverage by Istanbul. */
const FOREIGN = /\b(?:__name|cov_\w+)\b/;

/**
 * A copy of a function that refers to nothing but its parameters, made from its text. V8 learns where calls lead a call site at a
 * time, and closures of one text share their sites: in a copy, those of one program (op, host function) lead nowhere else, and are
 * compiled as direct calls. Where code may not be made from text (a content security policy), or the text is no longer
 * self-contained, the function itself.
 */
export function ownCopy<F extends (...args: never[]) => unknown>(make: F): F {
  if (FOREIGN.test(String(make))) return make;
  try {
    // V8 gives the same text the same copy again.
    return new Function(`return ${make} // ${copies++}`)() as F;
  } catch {
    return make;
  }
}
