import { MessageChannel } from "node:worker_threads";

/** A port that nobody listens to: what is moved through it is gone. */
const nowhere = (() => {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.unref();
  return port1;
})();

/**
 * Frees `buffers` at once, detaching them. The garbage collector sees large buffers as small objects and lets those of a
 * whole step pile up; moving them away is what Node 20 has in place of `ArrayBuffer.prototype.transfer`.
 */
export function discard(buffers: Iterable<ArrayBuffer>): void {
  const list = [...new Set(buffers)];
  if (list.length > 0) nowhere.postMessage(null, list);
}
