import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import express from 'express'
import { addConsoleRoutes } from './console-routes.ts'

describe('Routes of the console', () => {
  let server: Server
  let url: string
  before(async () => {
    const app = express()
    addConsoleRoutes(app, () => (_request, _response, next) => next(), undefined)
    server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => server.close())

  it('serve every module that the page loads, and those that these import', async () => {
    const page = await (await fetch(url)).text()
    const { imports } = JSON.parse(/<script type="importmap">(.*?)<\/script>/.exec(page)![1]!)
    const addresses = new Set<string>(Object.values(imports))
    for (const [, source] of page.matchAll(/<script type="module" src="(.*?)"/g)) addresses.add(source!)
    for (const address of addresses) {
      const response = await fetch(url + address)
      expect(response.status, address).to.equal(200)
      const text = await response.text()
      for (const [, path] of text.matchAll(/^import [^'"]*['"](\..*?)['"]/gms))
        addresses.add(new URL(path!, url + address).pathname)
    }
    expect([...addresses].some((address) => address.endsWith('/raw-event.ts'))).to.equal(true)
  })
})
