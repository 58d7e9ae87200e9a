import { expect } from 'chai'
import { type Place, pages, placeOf, urlOf } from './place.ts'

describe('A place of the console', () => {
  it('is in its URL, whatever the key is called', () => {
    for (const page of pages)
      for (const id of ['', 'user-1', 'a&b=c#d', '../?page=flow', 'Ärger 東京'])
        for (const [hours, offset, budget, event, isPaused] of [
          [24, 0, 0, '', false],
          [0, 10, 3000, 'e&1', true],
          [168, 0, 1, '', true],
        ] as const) {
          const place: Place = { page, id, hours, offset, budget, event, isPaused }
          const { pathname, search } = new URL(urlOf(place), 'http://localhost')
          expect(pathname).to.equal('/')
          expect(placeOf(search)).to.deep.equal(place)
        }
  })

  it('is the page Now where the URL says nothing, or nonsense', () => {
    const now: Place = { page: 'now', id: '', hours: 24, offset: 0, budget: 0, event: '', isPaused: false }
    expect(placeOf('')).to.deep.equal(now)
    expect(placeOf('?page=nowhere&hours=-1&offset=x&budget=-5&paused=yes')).to.deep.equal(now)
  })
})
