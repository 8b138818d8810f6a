#!/usr/bin/env node
/** The `spate` command: declares the commands, runs the one that is asked for, and turns what goes wrong into one line and an exit code. */
import { Command, CommanderError } from 'commander';
import { raiseHeapLimit } from '../heap-limit.js';
import { VERSION } from '../package.js';
import { addBatch } from './batch.js';
import { addBench } from './bench.js';
import { withBareEvents } from './events.js';
import { EXIT, exitCodeOf, stdoutError } from './exit-codes.js';
import { addGet } from './get.js';
import { addInfo } from './info.js';
import { Output } from './output.js';
import { addSeed } from './seed.js';
import { addVerify } from './verify.js';

const HELP = `
Examples:
  spate debian.torrent -o downloads       download; run it again to go on
  spate info debian.torrent               what is in it
  spate show.torrent -f 1,3-5             some of its files
  spate verify debian.torrent downloads   whether what is there is good
  spate seed debian.torrent downloads     give it to others
  spate batch list.txt -o downloads       many torrents, with a journal and a report
  spate bench compare --with aria2c       race another client on this machine

\`spate get --help\` lists the flags of a download.`;

raiseHeapLimit();
process.stdout.once('error', onStdoutError).on('error', () => {});
// A log that cannot be written, on a full disk or to a reader that has left, is no reason to end anything.
process.stderr.on('error', () => {});
process.on('uncaughtException', (error) => {
  fail(error);
  process.exit();
});

const program = new Command('spate')
  .description('A BitTorrent downloader.')
  .version(VERSION)
  .addHelpText('after', HELP)
  // What follows the name of a command is that command's.
  .enablePositionalOptions()
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(usageError(text)) });
addGet(program);
addBatch(program);
addSeed(program);
addInfo(program);
addVerify(program);
addBench(program);

try {
  await program.parseAsync(withBareEvents(process.argv));
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  else fail(error);
}

function fail(error: unknown): void {
  new Output({ verbose: process.argv.includes('-v') || process.argv.includes('--verbose') }).error(error);
  process.exitCode = exitCodeOf(error);
}

/** Commander's message in the form of all others: one line. */
function usageError(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, '')
    .replace(' is invalid. ', ' is invalid: ')
    .replace(/\.$/, '')
    .replaceAll(/\s*\n\s*/g, ' ');
  return `spate: ${line}; see \`spate --help\`\n`;
}

/** Data are lost. Quiet when their reader has left; what is under way ends by itself (`interruption.ts`). */
function onStdoutError(error: Error): void {
  const { exitCode, reason } = stdoutError(error);
  if (exitCode !== EXIT.pipe) new Output({}).error(reason);
  process.exitCode = exitCode;
}
