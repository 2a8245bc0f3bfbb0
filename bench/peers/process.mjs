// A peer that is a program: it prints "NAME NS RESULT" or "NAME ! WHY" for each kernel; other lines say more of the next WHY.
import { spawnSync } from 'node:child_process';

/** Throws with what the program said if it ends with another status than 0. */
export function runProgram(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(stderr.trim().split('\n')[0] || `status ${status}`);
  const answers = [];
  let more = '';
  for (const line of stdout.trim().split('\n')) {
    const refused = /^(\w+) ! (.*)$/.exec(line);
    const timed = /^(\w+) ([\d.]+) (\d+)$/.exec(line);
    if (refused) answers.push({ kernel: refused[1], refused: more || refused[2] });
    else if (timed) answers.push({ kernel: timed[1], ns: Number(timed[2]), result: BigInt(timed[3]) });
    more = refused || timed ? '' : more || line.trim().replace(/\(0x[0-9a-f]+\)|;$/g, '');
  }
  return answers;
}
