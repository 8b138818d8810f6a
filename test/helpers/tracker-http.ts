/** A scripted HTTP server on loopback for tests of tracker clients: every answer is what the test says, however wrong. */
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { formatAddress } from '../../src/protocol/address.js';
import { TLS } from './tracker-tls.js';

export interface ScriptedServer {
  /** `http://127.0.0.1:<port>`, or with `https://` or another host. */
  readonly origin: string;
  readonly port: number;
  /** The request lines' targets, in order of arrival. */
  readonly targets: string[];
  /** TCP connections accepted so far. */
  connections(): number;
  close(): Promise<void>;
}

export type HttpScript = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** An HTTP server whose every request goes to `answer`; with `secure` over TLS, with a certificate nobody trusts. */
export async function scriptedHttp(
  answer: HttpScript,
  { secure = false, host = '127.0.0.1', port = 0 } = {},
): Promise<ScriptedServer> {
  const targets: string[] = [];
  const script: HttpScript = (request, response) => {
    targets.push(request.url ?? '');
    answer(request, response);
  };
  const server = secure ? https.createServer(TLS, script) : http.createServer(script);
  const scripted = await listening(server, targets, () => server.closeAllConnections(), host, port);
  return secure ? { ...scripted, origin: scripted.origin.replace('http', 'https') } : scripted;
}

/** A TCP server that hands its connections to `serve`, for what an HTTP server would never do. */
export async function scriptedTcp(serve: (socket: net.Socket, connection: number) => void): Promise<ScriptedServer> {
  const open = new Set<net.Socket>();
  let count = 0;
  const server = net.createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    serve(socket, count++);
  });
  return listening(server, [], () => {
    for (const socket of open) socket.destroy();
  });
}

async function listening(
  server: net.Server,
  targets: string[],
  closeAll: () => void,
  host = '127.0.0.1',
  wantedPort = 0,
): Promise<ScriptedServer> {
  let connections = 0;
  server.on('connection', () => connections++);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(wantedPort, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://${formatAddress({ host, port })}`,
    port,
    targets,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        closeAll();
      }),
  };
}
