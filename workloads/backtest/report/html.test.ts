import { expect } from 'chai'
import { html, jsonBlock, trusted } from './html.ts'

describe('html', () => {
  it('escapes text, in elements and in attributes', () => {
    const text = `<b> & "it's"`
    expect(html`<p title="${text}">${text}</p>`.markup).to.equal(
      '<p title="&lt;b&gt; &amp; &quot;it&#39;s&quot;">&lt;b&gt; &amp; &quot;it&#39;s&quot;</p>',
    )
  })

  it('nests markup, joins lists and leaves out what is undefined', () => {
    const items = ['a', '<', 3].map((item) => html`<li>${item}</li>`)
    expect(html`<ul>${items}${undefined}</ul>${trusted('<hr>')}`.markup).to.equal(
      '<ul><li>a</li><li>&lt;</li><li>3</li></ul><hr>',
    )
  })

  it('replaces characters that HTML cannot hold or that turn the direction of writing', () => {
    expect(html`${'a\u0000b\u202ec\ud800d'}`.markup).to.equal('a\u{fffd}b\u{fffd}c\u{fffd}d')
  })
})

describe('jsonBlock()', () => {
  it('cannot be ended by what it holds', () => {
    const value = { key: '</script><script>alert(1)</script><!--' }
    const { markup } = jsonBlock('data', value)
    expect(markup.match(/<\/?script|<!--/g)).to.deep.equal(['<script', '</script'])
    expect(JSON.parse(markup.replace(/<.*?>/g, ''))).to.deep.equal(value)
  })
})
