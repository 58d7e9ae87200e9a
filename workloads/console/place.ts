import { useEffect, useState } from 'preact/hooks'

export const pages = ['now', 'key', 'episode', 'what-if', 'flow'] as const
export type Page = (typeof pages)[number]

/** What is looked at: all of it stands in the URL, so that it can be sent to somebody. */
export interface Place {
  readonly page: Page
  /** Of a key or an episode. */
  readonly id: string
  /** Hours that are looked at; 0 for all. */
  readonly hours: number
  /** Keys that are paged over. */
  readonly offset: number
  /** The alert budget that is tried, per million; 0 for the present one. */
  readonly budget: number
  /** Id of the event that is shown as it came; none by default. */
  readonly event: string
  /** Whether what is shown stands still. */
  readonly isPaused: boolean
}

const usualHours = 24

export function placeOf(search: string): Place {
  const given = new URLSearchParams(search)
  const page = pages.find((one) => one === given.get('page')) ?? 'now'
  const hours = Number(given.get('hours') ?? usualHours)
  const [offset, budget] = [countOf(given.get('offset')), countOf(given.get('budget'))]
  return {
    page,
    id: given.get('id') ?? '',
    hours: Number.isFinite(hours) && hours >= 0 ? hours : usualHours,
    offset,
    budget,
    event: given.get('event') ?? '',
    isPaused: given.get('paused') === '1',
  }
}

function countOf(text: string | null): number {
  const count = Number(text ?? 0)
  return Number.isInteger(count) && count >= 0 ? count : 0
}

export function urlOf({
  page,
  id = '',
  hours = usualHours,
  offset = 0,
  budget = 0,
  event = '',
  isPaused = false,
}: Partial<Place> & { readonly page: Page }): string {
  const given = new URLSearchParams()
  if (page !== 'now') given.set('page', page)
  if (id !== '' || page === 'key' || page === 'episode') given.set('id', id)
  if (hours !== usualHours) given.set('hours', String(hours))
  if (offset !== 0) given.set('offset', String(offset))
  if (budget !== 0) given.set('budget', String(budget))
  if (event !== '') given.set('event', event)
  if (isPaused) given.set('paused', '1')
  const search = given.toString()
  return search === '' ? '/' : `/?${search}`
}

/** Goes to a place as a link would. */
export function goTo(place: Partial<Place> & { readonly page: Page }): void {
  history.pushState(null, '', urlOf(place))
  dispatchEvent(new PopStateEvent('popstate'))
}

/** The place, and whoever asks is told when it changes: by a link of this page, or back and forth. */
export function usePlace(): Place {
  const [search, setSearch] = useState(location.search)
  useEffect(() => {
    const look = () => setSearch(location.search)
    const follow = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest('a') : null
      const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
      if (link === null || !isPlain || link.origin !== location.origin || link.pathname !== '/') return
      event.preventDefault()
      // Who goes on from page to page stays paused.
      const { isPaused } = placeOf(location.search)
      history.pushState(null, '', isPaused ? urlOf({ ...placeOf(link.search), isPaused }) : link.href)
      look()
      scrollTo(0, 0)
    }
    addEventListener('popstate', look)
    addEventListener('click', follow)
    return () => {
      removeEventListener('popstate', look)
      removeEventListener('click', follow)
    }
  }, [])
  return placeOf(search)
}
