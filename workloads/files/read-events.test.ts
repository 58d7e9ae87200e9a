import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { type Format, type InputRecord, inputFiles, readEvents } from './read-events.ts'
import { temporaryFolder } from './temporary-folder.ts'

describe('readEvents()', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  async function rowsOf(inputs: readonly string[], format?: Format): Promise<InputRecord[]> {
    const rows: InputRecord[] = []
    for await (const part of readEvents(inputFiles(inputs, format))) for (const row of part) rows.push(row)
    return rows
  }

  async function failureOf(work: () => Promise<unknown>): Promise<AppError> {
    const error = await work().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).to.be.instanceOf(AppError)
    return error as AppError
  }

  /** Row, line, then the body or the reason for which there is none. */
  const seen = ({ row, line, value, body, rejection }: InputRecord) => [row, line, rejection?.reason ?? body ?? value]

  describe('JSONL', () => {
    it('reads a line an event, and counts rows without blank lines, lines with them', async () => {
      const path = folder.write('a.jsonl', '{"a":1}\n\n  \n{"a":2}\r\n\r\n{"a":3}')
      expect((await rowsOf([path])).map(seen)).to.deep.equal([
        [1, 1, '{"a":1}'],
        [2, 4, '{"a":2}'],
        [3, 6, '{"a":3}'],
      ])
    })

    it('reads a byte order mark, letters of several bytes across pieces, and no line at all', async () => {
      const text = `{"name":"${'é'.repeat(700_000)}"}`
      const path = folder.write('bom.json', `\ufeff{"a":1}\n${text}\n`)
      expect((await rowsOf([path])).map(({ value }) => value)).to.deep.equal(['{"a":1}', text])
      expect(await rowsOf([folder.write('empty.jsonl', '')])).to.deep.equal([])
      expect(await rowsOf([folder.write('blank.jsonl', '\n\r\n  \n')])).to.deep.equal([])
    })

    it('rejects a line of more than a million characters, and reads on behind it', async () => {
      const limit = 1024 * 1024
      for (const [length, expected] of [
        [limit, 'x'.repeat(limit)],
        [limit + 1, 'TooLarge'],
        [5 * limit, 'TooLarge'],
      ] as const) {
        const path = folder.write('long.jsonl', `{"a":1}\n${'x'.repeat(length)}\r\n{"a":3}\n`)
        const rows = (await rowsOf([path])).map(seen)
        expect(rows.map(([row, line]) => [row, line])).to.deep.equal([
          [1, 1],
          [2, 2],
          [3, 3],
        ])
        expect(rows[1]![2] === expected, `${length} characters`).to.equal(true)
        expect(rows[2]![2]).to.equal('{"a":3}')
      }
      const endless = folder.write('endless.jsonl', `{"a":1}\n${'x'.repeat(3 * limit)}`)
      expect((await rowsOf([endless])).map((row) => seen(row)[2])).to.deep.equal(['{"a":1}', 'TooLarge'])
    })
  })

  describe('CSV', () => {
    it('reads fields by column, all of them text', async () => {
      const path = folder.write('a.csv', 'id,v\nx,1.5\ny,\n')
      expect(await rowsOf([path])).to.deep.equal([
        {
          offset: 0,
          key: null,
          value: 'x,1.5',
          timestamp: Number.NaN,
          source: 'a.csv',
          row: 1,
          line: 2,
          body: { id: 'x', v: '1.5' },
          text: 'Point',
        },
        {
          offset: 0,
          key: null,
          value: 'y,',
          timestamp: Number.NaN,
          source: 'a.csv',
          row: 2,
          line: 3,
          body: { id: 'y', v: '' },
          text: 'Point',
        },
      ])
    })

    it('reads a byte order mark, quotes, line breaks within them, CRLF and blank lines', async () => {
      const path = folder.write('b.csv', '\ufeff\r\nid,note\r\n1,"a, b"\r\n\r\n2,"two\r\nlines, ""quoted"""\r\n3,c')
      expect((await rowsOf([path])).map(seen)).to.deep.equal([
        [1, 3, { id: '1', note: 'a, b' }],
        [2, 5, { id: '2', note: 'two\nlines, "quoted"' }],
        [3, 7, { id: '3', note: 'c' }],
      ])
    })

    it('rejects ragged rows and broken quotes by row, with the reason and the row as it was', async () => {
      const path = folder.write('c.csv', 'id,a,b\n1,2\n2,3,4,5\n3,"x"y,1\n4,a"b,2\n5,6,7\n8,"open,1\n9,1,2\n')
      const rows = await rowsOf([path])
      expect(rows.map(seen)).to.deep.equal([
        [1, 2, 'RaggedRow'],
        [2, 3, 'RaggedRow'],
        [3, 4, 'RaggedRow'],
        [4, 5, 'RaggedRow'],
        [5, 6, { id: '5', a: '6', b: '7' }],
        [6, 7, 'RaggedRow'],
        [7, 8, { id: '9', a: '1', b: '2' }],
      ])
      expect(
        rows.filter(({ rejection }) => rejection).map(({ rejection, value }) => [value, rejection!.message]),
      ).to.deep.equal([
        ['1,2', 'the row has 2 fields, the header 3'],
        ['2,3,4,5', 'the row has 4 fields, the header 3'],
        ['3,"x"y,1', 'the row cannot be read: text follows the quotes of field 2'],
        ['4,a"b,2', 'the row cannot be read: a quote within field 2, which does not begin with one'],
        ['8,"open,1', 'the row cannot be read: a quote is never closed'],
      ])
    })

    it('loses one row, not the rest of the file, to a quote that nobody closes', async () => {
      const rest = Array.from({ length: 200_000 }, (_, i) => `${i},7.25`)
      const path = folder.write('open.csv', `id,v\n0,"open\n${rest.join('\n')}\n`)
      const rows = await rowsOf([path])
      expect(rows).to.have.length(200_001)
      expect(rows[0]!.rejection!.reason).to.equal('RaggedRow')
      expect(rows.slice(1).every(({ body }) => body !== undefined)).to.equal(true)
      expect(seen(rows.at(-1)!)).to.deep.equal([200_001, 200_002, { id: '199999', v: '7.25' }])
    })

    it('rejects a row that is too long, also one in quotes', async () => {
      const long = 'x'.repeat(2 * 1024 * 1024)
      const path = folder.write('long.csv', `id,v\n1,${long}\n2,"${long}"\n3,4\n`)
      expect((await rowsOf([path])).map(seen)).to.deep.equal([
        [1, 2, 'TooLarge'],
        [2, 3, 'TooLarge'],
        [3, 4, { id: '3', v: '4' }],
      ])
    })

    it('reads a quoted cell that is cut between two pieces of the file', async () => {
      const filler = Array.from({ length: 150_000 }, () => '1,234567').join('\n')
      const path = folder.write('cut.csv', `id,v\n${filler}\n2,"${'line\n'.repeat(100_000)}"\n3,4\n`)
      const rows = await rowsOf([path])
      expect(rows).to.have.length(150_002)
      expect((rows[150_000]!.body as { v: string }).v).to.have.length(500_000)
      expect(seen(rows[150_001]!)).to.deep.equal([150_002, 250_003, { id: '3', v: '4' }])
    })

    it('has no rows where there is nothing but a header, or not even that', async () => {
      for (const content of ['id,v', 'id,v\r\n', '', '\n\n'])
        expect(await rowsOf([folder.write('few.csv', content)]), JSON.stringify(content)).to.deep.equal([])
    })

    it('reads no file whose header is broken or names a column twice', async () => {
      const broken = folder.write('broken.csv', '\nid,"v\n1,2\n')
      const twice = folder.write('twice.csv', 'id,v,v,,\n1,2,3,,\n')
      expect(await failureOf(() => rowsOf([broken]))).to.include({
        code: 'InvalidArgument',
        message: `${broken}:2: the header cannot be read: a quote is never closed`,
      })
      expect(await failureOf(() => rowsOf([twice]))).to.include({
        code: 'InvalidArgument',
        message: `${twice}:1: two columns are named "v"`,
      })
    })
  })

  describe('formats', () => {
    it('go by the extension, whatever its case, packed or not', async () => {
      const csv = gzipSync('id,v\n1,2\n')
      for (const [name, content] of [
        ['d.csv', 'id,v\n1,2\n'],
        ['d.CSV', 'id,v\n1,2\n'],
        ['d.csv.gz', csv],
        ['d.CSV.GZ', csv],
        ['d.tsv', 'id\tv\n1\t2\n'],
      ] as const)
        expect(
          (await rowsOf([folder.write(name, content)])).map(({ body }) => body),
          name,
        ).to.deep.equal([{ id: '1', v: '2' }])
      for (const name of ['d.jsonl', 'd.json', 'd.ndjson', 'd.log', 'd.jsonl.gz'])
        expect(
          (await rowsOf([folder.write(name, name.endsWith('.gz') ? gzipSync('{}\n') : '{}\n')])).map(
            ({ value }) => value,
          ),
          name,
        ).to.deep.equal(['{}'])
    })

    it('are as the caller says where the caller says it', async () => {
      const path = folder.write('d.txt', 'id,v\n1,2\n')
      expect((await rowsOf([path], 'csv')).map(seen)).to.deep.equal([[1, 2, { id: '1', v: '2' }]])
      expect((await rowsOf([path])).map(seen)).to.deep.equal([
        [1, 1, 'id,v'],
        [2, 2, '1,2'],
      ])
    })
  })

  describe('several files', () => {
    it('are interleaved by position until each has ended', async () => {
      const lines = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}${i}\n`).join('')
      const paths = [
        folder.write('m/x.jsonl', lines('x', 3)),
        folder.write('m/y.jsonl', ''),
        folder.write('m/deep/z.jsonl', lines('z', 1)),
        folder.write('m/w.jsonl', lines('w', 2)),
      ]
      const rows = await rowsOf(paths)
      expect(rows.map(({ value, source, row }) => `${value} ${source}:${row}`)).to.deep.equal([
        'x0 x.jsonl:1',
        'z0 deep/z.jsonl:1',
        'w0 w.jsonl:1',
        'x1 x.jsonl:2',
        'w1 w.jsonl:2',
        'x2 x.jsonl:3',
      ])
    })

    it('are interleaved by position however much longer one is', async () => {
      const long = folder.write('n/long.jsonl', '{"a":"long"}\n'.repeat(200_000))
      const short = folder.write('n/short.jsonl', '{"a":"short"}\n'.repeat(1500))
      const rows = await rowsOf([long, short])
      expect(rows).to.have.length(201_500)
      for (let i = 0; i < 3000; i++) expect(rows[i]!.source).to.equal(i % 2 === 0 ? 'long.jsonl' : 'short.jsonl')
      expect(rows.slice(3000).every(({ source }) => source === 'long.jsonl')).to.equal(true)
    })

    it('are named by globs, sorted; files by their own name, even if it looks like a glob', () => {
      for (const name of ['g/b.csv', 'g/a.csv', 'g/sub/c.csv', 'g/[x].csv']) folder.write(name, 'v\n')
      const sources = (...inputs: string[]) =>
        inputFiles(inputs.map((input) => `${folder.path}/g/${input}`)).map(({ source }) => source)
      expect(sources('{a,b}.csv')).to.deep.equal(['a.csv', 'b.csv'])
      expect(sources('**/*.csv')).to.deep.equal(['[x].csv', 'a.csv', 'b.csv', 'sub/c.csv'])
      expect(sources('[x].csv')).to.deep.equal(['[x].csv'])
      expect(sources('sub/c.csv', 'a.csv')).to.deep.equal(['sub/c.csv', 'a.csv'])
    })
  })

  describe('what cannot be read', () => {
    const refusals: readonly (readonly [what: string, input: () => string, code: string, message: RegExp])[] = [
      ['a missing file', () => 'no/such.jsonl', 'NotFound', /^no\/such\.jsonl: no such file$/],
      ['a glob without files', () => 'no/*.csv', 'NotFound', /^no\/\*\.csv: no such file$/],
      ['a folder', () => folder.path, 'InvalidArgument', /: is a folder; name files or a glob such as '.*\/\*\.csv'$/],
      ['an endless name', () => 'x'.repeat(5000), 'InvalidArgument', /ENAMETOOLONG/],
    ]
    for (const [what, input, code, message] of refusals)
      it(`${what}: ${code}`, () => {
        expect(() => inputFiles([input()]))
          .to.throw(AppError, message)
          .with.property('code', code)
      })

    it('a damaged .gz: all rows up to the damage, then an error that names the file', async () => {
      const chance = Array.from({ length: 200_000 }, (_, i) => `{"a":${Math.sin(i)}}`).join('\n')
      const packed = gzipSync(chance)
      const path = folder.write('cut.jsonl.gz', packed.subarray(0, packed.length - 1000))
      let rows = 0
      const error = await failureOf(async () => {
        for await (const part of readEvents(inputFiles([path]))) rows += part.length
      })
      expect(error.code).to.equal('InvalidArgument')
      expect(error.message).to.match(/^.*cut\.jsonl\.gz: cannot be read: unexpected end of file$/)
      expect(rows).to.be.within(100_000, 200_000)
    })

    it('a .gz that is none', async () => {
      const path = folder.write('none.csv.gz', 'id,v\n1,2\n')
      expect((await failureOf(() => rowsOf([path]))).message).to.match(
        /none\.csv\.gz: cannot be read: incorrect header check/,
      )
    })
  })

  it('tells how many bytes of the files were read', async () => {
    const packed = gzipSync('{"a":1}\n'.repeat(10_000))
    const files = inputFiles([folder.write('s/a.jsonl.gz', packed), folder.write('s/b.jsonl', '{}\n{}\n')])
    let bytes = 0
    for await (const _ of readEvents(files, { onBytes: (count) => (bytes += count) }));
    expect(bytes).to.equal(packed.length + 6)
    expect(files.map(({ size }) => size)).to.deep.equal([packed.length, 6])
  })

  it('ends when it is told to, without an error', async () => {
    const path = folder.write('t.jsonl', '{"a":1}\n'.repeat(1_000_000))
    const stop = new AbortController()
    let rows = 0
    for await (const part of readEvents(inputFiles([path]), { signal: stop.signal })) {
      rows += part.length
      stop.abort()
    }
    expect(rows).to.be.below(500_000)
  })
})
