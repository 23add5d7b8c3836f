version 1.1

# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
#
# From paired FASTQ files to variants: a model of a germline workflow for tiny genomes, which requires only
# Python, awk and sort. Reads are aligned without gaps, so it finds single-nucleotide variants only.

workflow germline {
  input {
    String sample_name
    File fastq_1
    File fastq_2
    File reference
    String image
    Array[String] contigs = ["chr1", "chr2", "chr3"]
  }
  parameter_meta {
    sample_name: "Name of the sample"
    fastq_1: "First reads of the pairs, a gzipped FASTQ file"
    fastq_2: "Second reads of the pairs, a gzipped FASTQ file"
    reference: "Reference genome, a FASTA file"
    image: "Amazon ECR image with Python 3.10 or newer"
    contigs: "Contigs of the reference to call variants in"
  }

  call Align { input: fastq_1, fastq_2, reference, image }
  call MarkDuplicates { input: alignments = Align.alignments, image }
  scatter (contig in contigs) {
    call CallVariants { input: alignments = MarkDuplicates.unique, reference, contig, image }
  }
  call MergeVcfs { input: sample_name, parts = CallVariants.variants, image }

  output {
    File vcf = MergeVcfs.vcf
    File duplicates = MarkDuplicates.counts
  }
}

task Align {
  input {
    File fastq_1
    File fastq_2
    File reference
    String image
  }
  command <<<
    python3 - "~{reference}" "~{fastq_1}" "~{fastq_2}" > aligned.sam <<'PYTHON'
    import gzip, sys

    K, MOST_MISMATCHES = 20, 6
    text = open(sys.argv[1]).read()
    contigs = {name.split()[0]: bases.replace("\n", "") for name, _, bases in
               (each.partition("\n") for each in text.split(">")[1:])}
    index = {bases[i:i + K]: (name, i) for name, bases in contigs.items() for i in range(len(bases) - K + 1)}
    complement = str.maketrans("ACGT", "TGCA")
    for mate, path in enumerate(sys.argv[2:]):
        lines = gzip.open(path, "rt").read().splitlines()
        aligned = 0
        for name, read, quality in zip(lines[0::4], lines[1::4], lines[3::4]):
            for strand, bases in ((0, read), (16, read.translate(complement)[::-1])):
                hits = ((index[bases[i:i + K]], i) for i in range(0, len(bases) - K + 1, K) if bases[i:i + K] in index)
                starts = {(contig, place - i) for (contig, place), i in hits if place >= i}
                scores = sorted((sum(map(str.__ne__, bases, contigs[contig][start:start + len(bases)])), contig, start)
                                for contig, start in starts if start + len(bases) <= len(contigs[contig]))
                if scores and scores[0][0] <= MOST_MISMATCHES:
                    mismatches, contig, start = scores[0]
                    flag = 1 | (64, 128)[mate] | strand
                    print(name[1:].split()[0], flag, contig, start + 1, 60, f"{len(bases)}M", "*", 0, 0, bases,
                          quality[::-1] if strand else quality, f"NM:i:{mismatches}", sep="\t")
                    aligned += 1
                    break
        print(f"{aligned} of {len(lines) // 4} reads of file {mate + 1} are aligned", file=sys.stderr)
    PYTHON
  >>>
  output {
    File alignments = "aligned.sam"
  }
  runtime {
    container: image
    cpu: 1
    memory: "1 GiB"
  }
}

task MarkDuplicates {
  input {
    File alignments
    String image
  }
  command <<<
    set -euo pipefail
    sort -k3,3 -k4,4n -k1,1 -k2,2n "~{alignments}" > sorted.sam
    # A duplicate has the place and the bases of another read.
    awk -F '\t' '!seen[$3, $4, int($2 / 16) % 2, $10]++' sorted.sam > unique.sam
    printf 'reads\t%d\nduplicates\t%d\n' "$(wc -l < unique.sam)" \
      "$(($(wc -l < sorted.sam) - $(wc -l < unique.sam)))" | tee duplicates.tsv >&2
  >>>
  output {
    File unique = "unique.sam"
    File counts = "duplicates.tsv"
  }
  runtime {
    container: image
    cpu: 1
    memory: "1 GiB"
  }
}

task CallVariants {
  input {
    File alignments
    File reference
    String contig
    String image
  }
  command <<<
    python3 - "~{reference}" "~{alignments}" "~{contig}" > "~{contig}.vcf" <<'PYTHON'
    import sys
    from collections import Counter, defaultdict

    LEAST_QUALITY, LEAST_DEPTH, HETEROZYGOUS, HOMOZYGOUS = 20, 8, 0.25, 0.8
    reference, alignments, contig = sys.argv[1:]
    bases = open(reference).read().split(f">{contig}")[1].partition("\n")[2].partition(">")[0].replace("\n", "")
    pileup = defaultdict(Counter)
    for line in open(alignments):
        _, _, name, place, _, _, _, _, _, read, quality, *_ = line.split("\t")
        if name == contig:
            for offset, (base, mark) in enumerate(zip(read, quality)):
                if ord(mark) - 33 >= LEAST_QUALITY:
                    pileup[int(place) - 1 + offset][base] += 1
    for place, counts in sorted(pileup.items()):
        depth, ref = counts.total(), bases[place]
        alt, support = max(((base, n) for base, n in counts.items() if base != ref),
                           key=lambda each: each[1], default=("", 0))
        if depth >= LEAST_DEPTH and support / depth >= HETEROZYGOUS:
            genotype = "1/1" if support / depth >= HOMOZYGOUS else "0/1"
            print(contig, place + 1, ".", ref, alt, 10 * support, "PASS", f"DP={depth}", "GT:AD",
                  f"{genotype}:{counts[ref]},{support}", sep="\t")
    PYTHON
    echo "$(wc -l < "~{contig}.vcf") variants on ~{contig}" >&2
  >>>
  output {
    File variants = "~{contig}.vcf"
  }
  runtime {
    container: image
    cpu: 1
    memory: "1 GiB"
  }
}

task MergeVcfs {
  input {
    String sample_name
    Array[File] parts
    String image
  }
  command <<<
    set -euo pipefail
    {
      echo '##fileformat=VCFv4.2'
      echo '##INFO=<ID=DP,Number=1,Type=Integer,Description="Reads of sufficient quality">'
      echo '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">'
      echo '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Reads for each allele">'
      printf '#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t%s\n' "~{sample_name}"
      cat "~{sep('" "', parts)}"
    } > "~{sample_name}.vcf"
  >>>
  output {
    File vcf = "~{sample_name}.vcf"
  }
  runtime {
    container: image
    cpu: 1
    memory: "1 GiB"
  }
}
