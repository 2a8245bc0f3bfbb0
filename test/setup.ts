import fc from 'fast-check';

// The same cases in every run, so that a change is judged by what it does; VMTABLE_SEED tries others, `npm run fuzz` many.
fc.configureGlobal({ seed: Number(process.env.VMTABLE_SEED ?? 20) });
