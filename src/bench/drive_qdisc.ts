import { UnsupportedError } from '../errors.js';
import type { StructOpsMap } from '../loader/index.js';
import { Device, packetFlows, Qdisc, type QdiscHost } from '../qdisc/index.js';
import type { Drive } from './drive.js';

const STEP_NS = 250_000_000;
const RATE = 10_000_000;

/** The packets of `vmtable qdisc` on a link of 10 Mbit/s. Every step has a device and a discipline of its own. */
export function driveQdisc(host: QdiscHost, map: StructOpsMap): Drive {
  const link = map.attach();
  const id = String(map.get('id'));
  return {
    step() {
      const kdata = host.find(id);
      if (!kdata) throw new UnsupportedError(`qdisc "${id}" is the kernel's own`);
      const qdisc = new Qdisc(host, kdata, {});
      const device = new Device(host, qdisc, RATE, packetFlows());
      device.start();
      host.kernel.clock.advance(STEP_NS);
      device.stop();
      qdisc.destroy();
    },
    direct: { why: 'no device has occasion to call it' },
    close: () => link.destroy(),
  };
}
