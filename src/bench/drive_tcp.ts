import type { StructOpsMap } from '../loader/index.js';
import { type Tcp, TcpFlow } from '../tcp/index.js';
import type { Drive } from './drive.js';

const STEP_NS = 500_000_000;

/**
 * A connection over 10 Mbit/s with a round trip of 20 ms, a queue that overflows and one packet in a thousand lost; in each step
 * another one of a few packets comes and goes.
 */
export function driveTcp(tcp: Tcp, map: StructOpsMap): Drive {
  const link = map.attach();
  const algorithm = String(map.get('name'));
  const path = { rate: 10e6, rttNs: 20_000_000, loss: 0.001, seed: 1 };
  const flow = new TcpFlow(tcp, algorithm, path);
  return {
    step() {
      flow.run(STEP_NS);
      const short = new TcpFlow(tcp, algorithm, { ...path, writes: [{ at: 0, bytes: 30_000 }] });
      short.run(STEP_NS / 4);
      short.close();
    },
    direct: { objects: { sock: flow.sender.sk.ptr, tcp_sock: flow.sender.sk.ptr } },
    close() {
      flow.close();
      link.destroy();
    },
  };
}
