import { credentials } from '@grpc/grpc-js'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { AnomalyDetectionServiceClient, type AnomalyResponse } from '../../workloads/gen/anomaly_detection.ts'
import { begin, broker, committed, group, results, source } from '../kafka-produce/loop.ts'
import type { Payment } from './payments.ts'

/** The same pipeline an event at a time: GET the profile, unary RPC, SETEX the profile, send the verdict. */

process.removeAllListeners('warning')
const [grpc, redisUrl] = process.argv.slice(7) as [string, string]
const redis = new Redis(redisUrl)
const inference = new AnomalyDetectionServiceClient(grpc, credentials.createInsecure())
const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
await producer.connect()

interface Profile {
  readonly count: number
  readonly mean: number
}

async function judge(value: Buffer): Promise<string> {
  const { eventId, userId, timestamp, value: amount, features } = JSON.parse(value.toString()) as Payment
  const name = `per-event:${userId}`
  const stored = await redis.get(name)
  const { count, mean } = stored === null ? { count: 0, mean: 0 } : (JSON.parse(stored) as Profile)
  const answer = await new Promise<AnomalyResponse>((resolve, reject) => {
    inference.detectAnomaly(
      { eventId, timestamp, userId, features: { value: amount, ...features }, modelVersion: '' },
      (error, response) => (error === null ? resolve(response) : reject(error)),
    )
  })
  await redis.setex(name, 3600, JSON.stringify({ count: count + 1, mean: mean + (amount - mean) / (count + 1) }))
  return JSON.stringify({ ...answer, userId, timestamp })
}

const consumer = kafka.consumer({ groupId: group })
await consumer.connect()
await consumer.subscribe({ topic: source, fromBeginning: true })
await consumer.run({
  partitionsConsumedConcurrently: 4,
  eachMessage: async ({ message: { key, value } }) => {
    begin()
    await producer.send({ topic: results, messages: [{ key, value: await judge(value!) }] })
    committed(1)
  },
})
