import { expect } from 'chai'
import { simulate, traces } from './simulate.ts'

describe('The lag policy, over days', () => {
  const days = new Map(traces.map((trace) => [trace.name, simulate(trace)]))
  const day = (name: string) => days.get(name)!

  for (const { name } of traces)
    it(`moves partitions seldom, and keeps lag and costs below KEDA's rule: ${name}`, () => {
      const { own, keda } = day(name)
      expect(own.overTargetSeconds).to.be.below(keda.overTargetSeconds)
      expect(own.rebalances).to.be.below(keda.rebalances)
      expect(own.replicaHours).to.be.below(keda.replicaHours * 1.25)
    })

  it('sees a backlog that shows in no CPU', () => {
    const { own, cpu } = day('waiting for inference')
    expect(own.overTargetSeconds).to.be.below(cpu.overTargetSeconds / 20)
  })

  it('costs little where the CPU alone would have been enough', () => {
    for (const name of ['diurnal, 4 partitions', 'diurnal, 12 partitions', 'diurnal, 1000 partitions', 'flapping']) {
      const { own, cpu } = day(name)
      expect(own.replicaHours, name).to.be.below(cpu.replicaHours * 1.05)
      expect(own.rebalances, name).to.be.below(cpu.rebalances * 1.25)
    }
  })

  it('moves partitions less than the CPU alone where the brokers were away', () => {
    const { own, cpu } = day('dead broker')
    expect(own.overTargetSeconds).to.be.below(cpu.overTargetSeconds * 1.05)
    expect(own.rebalances).to.be.below(cpu.rebalances)
  })
})
