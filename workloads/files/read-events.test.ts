import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { type Format, inputFiles } from './input-files.ts'
import type { InputRecord } from './input-record.ts'
import { type ReadEventsOptions, readEvents } from './read-events.ts'
import { temporaryFolder } from './temporary-folder.ts'

describe('readEvents()', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  async function rowsOf(
    inputs: readonly string[],
    format?: Format,
    options: ReadEventsOptions = {},
  ): Promise<InputRecord[]> {
    const rows: InputRecord[] = []
    for await (const part of readEvents(inputFiles(inputs, format), options)) for (const row of part) rows.push(row)
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

  describe('a JSON array', () => {
    it('is read element by element, however it is laid out', async () => {
      const events = [{ a: 1, b: ['x]', { c: '},' }] }, { a: '"\\' }, 7, [], { a: { b: {} } }]
      const pretty = JSON.stringify(events, null, 2)
      for (const text of [
        JSON.stringify(events),
        pretty,
        `\ufeff \n${pretty.replaceAll('\n', '\r\n')}\r\n`,
        '[\n]'.replace('\n', events.map((event) => JSON.stringify(event)).join(',\n')),
      ]) {
        const rows = await rowsOf([folder.write('array.json', text)])
        expect(
          rows.map(({ value }) => JSON.parse(value!)),
          text,
        ).to.deep.equal(events)
        expect(rows.map(({ row }) => row)).to.deep.equal([1, 2, 3, 4, 5])
      }
      expect(
        (await rowsOf([folder.write('array.json', '[\n\n{"a":1},\n{\n"a":2}\n]\n{"a":3}')])).map(seen),
      ).to.deep.equal([
        [1, 3, '{"a":1}'],
        [2, 4, '{\n"a":2}'],
        [3, 7, '{"a":3}'],
      ])
      expect(await rowsOf([folder.write('array.json', '[ ]\n')])).to.deep.equal([])
    })

    it('loses what is broken in it, and never more than its end', async () => {
      const path = folder.write('array.json', '[{"a":"open},\n{"b":2}},\n{"c":3}')
      expect((await rowsOf([path])).map(({ value }) => value)).to.include('{"c":3}')
      const long = folder.write('array.json', `[{"a":[\n${'1,\n'.repeat(1_000_000)}1]},\n{"b":1}]`)
      expect((await rowsOf([long])).map(seen)).to.deep.equal([
        [1, 1, 'TooLarge'],
        [2, 1_000_003, '{"b":1}'],
      ])
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

    it('reads no file whose header is broken', async () => {
      const broken = folder.write('broken.csv', '\nid,"v\n1,2\n')
      expect(await failureOf(() => rowsOf([broken]))).to.include({
        code: 'InvalidArgument',
        message: `${broken}:2: the header cannot be read: a quote is never closed`,
      })
    })

    it('reads two columns of one name, unless somebody looks for them', async () => {
      const twice = folder.write('twice.csv', 'id,v,v,,\n1,2,3,,\n')
      expect((await rowsOf([twice])).map(seen)).to.deep.equal([[1, 2, { id: '1', v: '2', 'v (2)': '3', '': '' }]])
      expect(await failureOf(() => rowsOf([twice], undefined, { named: ['v'] }))).to.include({
        code: 'InvalidArgument',
        message: `${twice}:1: two columns are named "v", which is looked for`,
      })
    })

    it('says that a header is missing where values stand in its place', async () => {
      const named = ['time', 'user', 'value']
      for (const row of ['1640000000,u,1', '2024-01-01,u,x', 'a,b,1.5']) {
        const path = folder.write('bare.csv', `${row}\n${row}\n`)
        expect((await failureOf(() => rowsOf([path], undefined, { named }))).message).to.equal(
          `${path}:1: ${row.replaceAll(',', ', ')} are values where the names of the columns belong; begin the file with a header that has time, user, value`,
        )
      }
      const numbers = folder.write('numbers.csv', 'value,1,2\n3,4,5\n')
      expect(await rowsOf([numbers], undefined, { named })).to.have.length(1)
    })

    const dialects: readonly (readonly [what: string, content: string | Buffer, body: object, mark?: string])[] = [
      ['semicolons', 'a;b\n1,5;x\n', { a: '1,5', b: 'x' }, 'Comma'],
      ['tabs', 'a\tb, c\n1\t2\n', { a: '1', 'b, c': '2' }],
      ['bars', 'a|b\n1|2\n', { a: '1', b: '2' }],
      ['a stated delimiter', 'sep=;\na;b,c\n1;2\n', { a: '1', 'b,c': '2' }, 'Comma'],
      ['one column', 'a\n1\n', { a: '1' }],
      ['more semicolons within quotes', '"a;b;c;d",e\n1,2\n', { 'a;b;c;d': '1', e: '2' }],
      ['spaces around names and values', ' a , b\n 1, "x, y"\n', { a: '1', b: 'x, y' }],
      ['comments', '# of a tool\n#\na,b\n1,2\n# the end, of it, all\n', { a: '1', b: '2' }],
      ['a header in a comment', '#a,b\n1,2\n', { a: '1', b: '2' }],
      ['a comma at the end of rows', 'a,b\n1,2,\n', { a: '1', b: '2' }],
      ['UTF-16, little end first', Buffer.from('\ufeffa,ü\n1,ж\n', 'utf16le'), { a: '1', ü: 'ж' }],
      ['UTF-16, big end first', Buffer.from('\ufeffa,ü\n1,ж\n', 'utf16le').swap16(), { a: '1', ü: 'ж' }],
      ['UTF-16 without a mark', Buffer.from('a,b\r\n1,ж', 'utf16le'), { a: '1', b: 'ж' }],
      [
        'names of what every object has',
        'a,__proto__,toString\n1,2,3\n',
        JSON.parse('{"a":"1","__proto__":"2","toString":"3"}'),
      ],
    ]
    for (const [what, content, body, mark = 'Point'] of dialects)
      it(`is read with ${what}`, async () => {
        const rows = await rowsOf([folder.write('dialect.csv', content)], undefined, { named: ['a'] })
        expect(rows.map((row) => [row.body, row.text, row.rejection?.message])).to.deep.equal([[body, mark, undefined]])
      })

    it('takes the delimiter that it is told', async () => {
      const path = folder.write('told.csv', 'a;b,c\n1;2,3\n')
      expect((await rowsOf([path], undefined, { delimiter: ',' })).map(({ body }) => body)).to.deep.equal([
        { 'a;b': '1;2', c: '3' },
      ])
    })

    it('reads what was joined of several files with marks, and rejects by line what is not UTF-8', async () => {
      const latin = Buffer.from('2,caf\u00e9\n', 'latin1')
      const path = folder.write(
        'joined.csv',
        Buffer.concat([Buffer.from('\ufeffid,v\n1,é\n'), latin, Buffer.from('\ufeff3,x\n')]),
      )
      expect((await rowsOf([path])).map(seen)).to.deep.equal([
        [1, 2, { id: '1', v: 'é' }],
        [2, 3, 'NotUtf8'],
        [3, 4, { id: '3', v: 'x' }],
      ])
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
