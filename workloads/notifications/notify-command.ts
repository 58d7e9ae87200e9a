import { AppError } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Notification, Pipeline } from '../../lib/pipeline/spec.ts'
import { createReceiver } from './create-receiver.ts'
import type { Message } from './message.ts'
import { send } from './send.ts'

export interface NotifyArguments {
  readonly file: string
  /** Receivers; all of them where none is named. */
  readonly names: readonly string[]
  readonly secretsFolder?: string | undefined
}

/**
 * Sends a message to receivers of a pipeline as if an episode had opened, once, and prints what each says.
 * @throws AppError where one did not take it
 */
export async function notifyCommand(args: NotifyArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  let failed = 0
  for (const notification of chosen(pipeline, args.names)) {
    const failure = await tryReceiver(notification, pipeline, args.secretsFolder)
    if (failure !== undefined) failed++
    process.stdout.write(`${notification.name}: ${failure ?? 'has taken it'}\n`)
  }
  if (failed > 0) throw new AppError('Unavailable', `${failed} of the receivers did not take the message`)
}

function chosen({ spec }: Pipeline, names: readonly string[]): readonly Notification[] {
  const { notifications = [] } = spec
  if (notifications.length === 0) throw new AppError('InvalidArgument', 'the pipeline has no spec.notifications')
  for (const name of names)
    if (!notifications.some((one) => one.name === name)) {
      const known = notifications.map((one) => one.name).join(', ')
      throw new AppError('InvalidArgument', `${name}: no notification has this name; there are ${known}`)
    }
  return names.length === 0 ? notifications : notifications.filter(({ name }) => names.includes(name))
}

async function tryReceiver(
  notification: Notification,
  { metadata, spec }: Pipeline,
  secretsFolder: string | undefined,
): Promise<string | undefined> {
  const { namespace, name: pipeline } = metadata
  const subject = { namespace, pipeline, externalUrl: spec.api.externalUrl }
  const receiver = createReceiver(notification, { subject, open: () => [], wall: Date.now, secretsFolder })
  for (const request of receiver.requests([testMessage(namespace, pipeline)], false)) {
    const failure = await send(request, { signal: new AbortController().signal, wall: Date.now })
    if (failure !== undefined) return failure.message
  }
  return undefined
}

function testMessage(namespace: string, pipeline: string): Message {
  const now = Date.now()
  const episodeId = `test-${now}`
  const episode = {
    episodeId,
    change: 'Opened',
    state: 'Open',
    userId: 'test message',
    firstTimestamp: now,
    lastTimestamp: now,
    alerts: 1,
    events: 1,
    keys: 1,
    peakScore: 0.9999,
    peakEventId: episodeId,
    reasons: [{ detector: 'test', feature: 'value', observed: 950, expected: 42, contribution: 1 }],
  } as const
  return { id: `${namespace}/${pipeline}/${episodeId}/opened`, kind: 'Opened', episode, at: now }
}
