import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';

/** CPUs that go offline and come back (sched_cpu_deactivate, sched_cpu_activate and what surrounds them). */
export class CpuHotplug {
  constructor(private readonly machine: SimMachine) {}

  /** Takes a CPU out: its tasks go elsewhere. False for one that is offline, or the last one. */
  offline(cpu: SimCpu): boolean {
    const { machine } = this;
    const { scx, kernel } = machine;
    if (!cpu.online || machine.cpus.filter(({ online }) => online).length === 1) return false;
    cpu.active = false;
    scx.hotplug.deactivate(cpu.rq);
    scx.hotplug.rqOffline(cpu.rq);
    this.#drain(cpu);
    cpu.online = false;
    kernel.rqs.of(cpu.id).online = false;
    machine.stopTick(cpu);
    return true;
  }

  online(cpu: SimCpu): boolean {
    const { machine } = this;
    const { scx, kernel } = machine;
    if (cpu.online) return false;
    cpu.online = true;
    kernel.rqs.of(cpu.id).online = true;
    cpu.active = true;
    scx.hotplug.activate(cpu.rq);
    scx.hotplug.rqOnline(cpu.rq);
    machine.resched(cpu.id);
    return true;
  }

  /** balance_push() and migrate_tasks(): what is on the CPU goes to CPUs that it may use. */
  #drain(cpu: SimCpu): void {
    const { machine } = this;
    const { task } = cpu;
    if (task && !task.kt.kthread) {
      machine.changes.stopAndMove(task, machine.wakeups.fallback(task, cpu.id));
    }
    for (const other of [
      ...cpu.rq.runnable.map((one) => machine.of(one)),
      ...cpu.fairQueue,
      ...cpu.rtQueue,
      ...cpu.dlQueue,
    ]) {
      if (other === task || other.kt.kthread || machine.cpuOf(other) !== cpu) continue;
      machine.wakeups.moveQueued(other, machine.wakeups.fallback(other, cpu.id));
    }
  }
}
