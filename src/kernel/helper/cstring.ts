/** As much of a text as fits, and a NUL; nothing where there is no room for that (as snprintf writes). */
export function copyCString(target: Uint8Array, text: Uint8Array): void {
  if (target.length === 0) return;
  const written = text.subarray(0, target.length - 1);
  target.set(written);
  target[written.length] = 0;
}
