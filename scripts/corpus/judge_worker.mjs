// One process of judge_pool.mjs: judges the objects that it is sent, one after the other.
import { judge } from './judge.mjs';

process.on('message', async (task) => {
  let answer;
  try {
    answer = await judge(task);
  } catch (error) {
    answer = { loaded: `unexpected ${error.stack}`, diagnosis: { missing: [], unsupported: [] } };
  }
  process.send(answer);
});
