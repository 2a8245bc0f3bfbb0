// One of the threads of npm run fidelity: replays the recordings that it is asked for.
import { comparison } from './comparison.mjs';

const { answer } = await comparison();
export default answer;
