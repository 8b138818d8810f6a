/** Who waits for the rate limit is served by turns: the first one to come may take it all. */
import type { Connection } from './connection.js';

export class UploadTurns {
  #last: Connection | undefined;

  /** Serves everybody who waits, those after who was last first. */
  serve(connections: Iterable<Connection>): void {
    const waiting = [...connections].flatMap((connection) => {
      const queue = connection.session?.uploads.queue;
      return queue !== undefined && queue.size > 0 ? [{ connection, queue }] : [];
    });
    const last = waiting.findIndex(({ connection }) => connection === this.#last);
    for (const { connection, queue } of [...waiting.slice(last + 1), ...waiting.slice(0, last + 1)]) {
      const before = queue.size;
      connection.serve();
      if (queue.size < before) this.#last = connection;
    }
  }

  onClosed(connection: Connection): void {
    if (this.#last === connection) this.#last = undefined;
  }
}
