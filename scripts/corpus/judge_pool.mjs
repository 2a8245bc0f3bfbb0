// Judges objects in processes of their own, as many at once as there are CPUs, and keeps the answers: a run that was broken off
// goes on where it was, and what did not change is not judged again.
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const WORKER = fileURLToPath(new URL('judge_worker.mjs', import.meta.url));
/** Of one object with all its runs, whose own limits are shorter. */
const LIMIT_MS = 240_000;

/** What every answer depends on besides the object: the build and the judge itself. */
function buildKey() {
  const hash = createHash('sha256').update(process.version);
  for (const folder of ['dist/lib', 'build', 'profiles', 'scripts/corpus', 'scripts/corpus/testmod']) {
    for (const { name } of readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isFile()))
      if (/\.(js|mjs|c|wasm|gz|json)$/.test(name)) hash.update(name).update(readFileSync(join(root, folder, name)));
  }
  return hash.digest('hex');
}

/** Answers of judge() for `tasks` ({path, kernel, engine}), in their order. `cache` is a folder. */
export async function judgeAll(tasks, cache, say) {
  mkdirSync(cache, { recursive: true });
  const build = buildKey();
  const answers = new Array(tasks.length);
  let next = 0;
  let fresh = 0;
  const lane = async () => {
    let worker;
    while (next < tasks.length) {
      const index = next++;
      const task = tasks[index];
      const { path, kernel, engine } = task;
      const key = createHash('sha256')
        .update(build)
        .update(kernel)
        .update(engine)
        .update(path)
        .update(readFileSync(path))
        .digest('hex');
      const file = join(cache, `${key.slice(0, 40)}.json`);
      if (!existsSync(file)) {
        worker = worker?.connected ? worker : fork(WORKER);
        const answer = await ask(worker, task);
        writeFileSync(file, JSON.stringify(answer));
        fresh++;
        say(`${index + 1} of ${tasks.length}: ${path.slice(path.lastIndexOf('/') + 1)}`);
      }
      answers[index] = JSON.parse(readFileSync(file, 'utf8'));
    }
    worker?.disconnect();
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), tasks.length) }, lane));
  if (fresh < tasks.length) say(`${tasks.length - fresh} of ${tasks.length} answers were there from an earlier run`);
  return answers;
}

/** A worker that does not answer in time, or ends, is an answer as well. */
function ask(worker, task) {
  return new Promise((resolve) => {
    const finish = (answer) => {
      clearTimeout(timer);
      worker.off('message', finish);
      worker.off('exit', ended);
      resolve(answer);
    };
    const fail = (why) => finish({ loaded: `unexpected ${why}`, diagnosis: { missing: [], unsupported: [] } });
    const ended = (code, signal) => fail(`end of the process: ${signal ?? code}`);
    const timer = setTimeout(() => {
      worker.off('exit', ended);
      worker.once('exit', () => fail(`silence: no answer within ${LIMIT_MS / 1000} s`));
      worker.kill('SIGKILL');
    }, LIMIT_MS);
    worker.once('message', finish);
    worker.once('exit', ended);
    worker.send(task);
  });
}
