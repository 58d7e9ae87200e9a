import { expect } from 'chai'
import { createPeers, parsePeer } from './peers.ts'

describe('createPeers()', () => {
  it('asks every address of a name, and leaves out who does not answer', async () => {
    const asked: string[] = []
    const peers = createPeers([parsePeer('consumer=consumers:9090'), parsePeer('inference=nobody:9090')], {
      clock: () => 0,
      addressesOf: async (host) => (host === 'consumers' ? ['10.0.0.1', '10.0.0.2', 'fd00::1', '10.0.0.4'] : []),
      ask: async (url) => {
        asked.push(url)
        if (url.includes('10.0.0.2')) throw new Error('refused')
        return url.includes('10.0.0.4') ? '<html>' : `{"keys":${asked.length}}`
      },
    })
    expect(await peers()).to.deep.equal([
      { role: 'consumer', status: { keys: 1 } },
      { role: 'consumer', status: { keys: 3 } },
    ])
    expect(asked).to.include('http://[fd00::1]:9090/status')
  })

  it('asks once a second, however many want to know', async () => {
    let now = 0
    let asked = 0
    const peers = createPeers([parsePeer('consumer=one:1')], {
      clock: () => now,
      addressesOf: async () => ['10.0.0.1'],
      ask: async () => `${++asked}`,
    })
    await Promise.all([peers(), peers()])
    now = 999
    expect(await peers()).to.deep.equal([{ role: 'consumer', status: 1 }])
    now = 1000
    expect(await peers()).to.deep.equal([{ role: 'consumer', status: 2 }])
  })

  for (const text of ['consumer', 'consumer=host', 'operator=host:1', 'consumer=host:70000', 'consumer=a:b:1'])
    it(`takes no peer ${text}`, () => {
      expect(() => parsePeer(text)).to.throw(/ROLE=HOST:PORT/)
    })
})
