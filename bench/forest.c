/* The walk of workloads/detection/forest-walk.ts in C, as the baseline of forest.bench.ts: the same trees, the same
   rows, the same order, sixteen rows of a block at a time. No row may lack a value.

   forest INPUT OUTPUT PASSES: reads what forest.bench.ts wrote, scores all rows PASSES times after once to warm up,
   writes the scores as float64 and prints the nanoseconds of all passes. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK = 64, LANES = 16 };

static void score(int trees, int height, int columns, int rows, double expected_path, const int32_t *features,
                  const double *thresholds, const double *leaves, const double *matrix, double *scores) {
  const int half = 1 << height;
  for (int from = 0; from < rows; from += BLOCK) {
    double *sums = scores + from;
    for (int row = 0; row < BLOCK; row++) sums[row] = 0;
    for (int tree = 0; tree < trees; tree++) {
      const int32_t *feature = features + (size_t)tree * half;
      const double *threshold = thresholds + (size_t)tree * half;
      const double *leaf = leaves + (size_t)tree * half - half;
      for (int first = 0; first < BLOCK; first += LANES) {
        const double *row = matrix + (size_t)(from + first) * columns;
        int node[LANES];
        for (int lane = 0; lane < LANES; lane++) node[lane] = 1;
        for (int level = 0; level < height; level++)
          for (int lane = 0; lane < LANES; lane++)
            node[lane] = 2 * node[lane] + (row[lane * columns + feature[node[lane]]] >= threshold[node[lane]]);
        for (int lane = 0; lane < LANES; lane++) sums[first + lane] += leaf[node[lane]];
      }
    }
    for (int row = 0; row < BLOCK; row++) sums[row] = exp2(-sums[row] / (trees * expected_path));
  }
}

static void *take(FILE *file, size_t size, size_t count) {
  void *array = malloc(size * count);
  if (array == NULL || fread(array, size, count, file) != count) {
    fprintf(stderr, "forest: the input is too short\n");
    exit(1);
  }
  return array;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv) {
  FILE *input = argc == 4 ? fopen(argv[1], "rb") : NULL;
  if (input == NULL) {
    fprintf(stderr, "usage: forest INPUT OUTPUT PASSES\n");
    return 2;
  }
  const int32_t *size = take(input, sizeof(int32_t), 4);
  const int trees = size[0], height = size[1], columns = size[2], rows = size[3], passes = atoi(argv[3]);
  const size_t nodes = (size_t)trees << height;
  const double *expected_path = take(input, sizeof(double), 1);
  const double *thresholds = take(input, sizeof(double), nodes);
  const double *leaves = take(input, sizeof(double), nodes);
  const double *matrix = take(input, sizeof(double), (size_t)rows * columns);
  const int32_t *features = take(input, sizeof(int32_t), nodes);
  double *scores = malloc(sizeof(double) * rows);

  score(trees, height, columns, rows, *expected_path, features, thresholds, leaves, matrix, scores);
  const double start = now();
  for (int pass = 0; pass < passes; pass++)
    score(trees, height, columns, rows, *expected_path, features, thresholds, leaves, matrix, scores);
  printf("%.0f\n", now() - start);

  FILE *output = fopen(argv[2], "wb");
  if (output == NULL || fwrite(scores, sizeof(double), rows, output) != (size_t)rows || fclose(output) != 0) return 1;
  return 0;
}
