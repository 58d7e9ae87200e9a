import { type handleBidiStreamingCall, status } from '@grpc/grpc-js'
import type { AnomalyRequest, AnomalyResponse } from '../gen/anomaly_detection.ts'
import type { DetectService } from './detect-service.ts'
import { hostOf, type RowCalls } from './over-rows.ts'
import type { Load } from './row-queue.ts'
import { rpcErrorOf } from './rpc-error.ts'

/** Messages of one stream that are scored together, and after which it is not read on until they are answered. */
const streamBatch = 512
/** Bytes of them after which it is not read on. */
const streamBytes = 2 ** 20

/** About what a request holds in memory. */
export function loadOf({ eventId, userId, features }: AnomalyRequest): Load {
  let bytes = 100 + eventId.length + userId.length
  for (const name in features) bytes += 50 + name.length
  return { rows: 1, bytes }
}

/** Answers each message of a stream, in order; reads no more of it than its caller takes answers of. */
export function detectStream(
  { queue, metrics, requireReady }: RowCalls,
  detect: DetectService,
): handleBidiStreamingCall<AnomalyRequest, AnomalyResponse> {
  const method = 'DetectAnomalyBatch'
  return (call) => {
    let waiting: AnomalyRequest[] = []
    let bytes = 0
    let arrived = 0
    let working = false
    let ended = false
    let proceed = () => {}

    async function answerWaiting(): Promise<void> {
      while (waiting.length > 0 && !call.cancelled) {
        const requests = waiting
        const load = { rows: requests.length, bytes }
        waiting = []
        bytes = 0
        requireReady()
        const responses = await queue.run(
          load,
          () => !call.cancelled,
          () => detect.detect(requests, arrived, hostOf(call.getPeer())),
        )
        if (responses === undefined) return
        metrics.scored(requests.length, performance.now() - arrived)
        let flows = true
        for (const response of responses) flows = call.write(response)
        if (!flows && !call.cancelled) await new Promise<void>((resolve) => (proceed = resolve))
      }
    }
    function begin(): void {
      if (working) return
      working = true
      answerWaiting().then(
        () => {
          working = false
          if (call.isPaused()) call.resume()
          if (!ended || waiting.length > 0) return
          metrics.answered(method, 'OK')
          call.end()
        },
        (error: unknown) => {
          const { code, message } = rpcErrorOf(error)
          metrics.answered(method, status[code])
          call.emit('error', { code, details: message })
        },
      )
    }
    call.on('data', (request: AnomalyRequest) => {
      if (waiting.length === 0) arrived = performance.now()
      waiting.push(request)
      bytes += loadOf(request).bytes
      if (waiting.length >= streamBatch || bytes >= streamBytes) call.pause()
      begin()
    })
    call.on('end', () => {
      ended = true
      begin()
    })
    for (const event of ['drain', 'cancelled']) call.on(event, () => proceed())
    call.on('error', () => {})
  }
}
