# Grants of jit in the prompt, for PowerShell 7. On Linux and macOS; nothing here starts a process.
$global:JIT_PROMPT = ''

# Sets JIT_PROMPT; returns what is shown, coloured.
function global:__jit_look {
    $global:JIT_PROMPT = ''
    $now = [DateTimeOffset]::UtcNow.ToUnixTimeSeconds()
    $uid = if ($IsWindows) { '' } elseif ($env:UID) { $env:UID } else { $global:__jit_user }
    $tmp = @($env:TMPDIR, $env:TMP, $env:TEMP, '/tmp' | Where-Object { $_ })[0].TrimEnd('/')
    $folders = @($env:XDG_RUNTIME_DIR, "/run/user/$uid", "$tmp/jit-$uid") |
        Where-Object { $_ -and $_.StartsWith('/') } | Select-Object -Unique
    $name = '[a-z][a-z0-9_-]{0,62}'
    # Every field is compared with what it may be before it is calculated with or shown.
    $form = "\A([0-9]{1,12}) ($name) ($name) ($name) ([0-9]{1,10}) (-|[0-9]{1,20}) (-|[a-z0-9][a-z0-9._-]{0,62})\n\z"
    $seen = @{}
    $grants = foreach ($folder in $folders) {
        $place = "$folder/jit/grants"
        if (-not [IO.Directory]::Exists($place)) { continue }
        # Of this user alone: under /tmp anybody could have made it.
        $mode = [IO.File]::GetUnixFileMode($place)
        if ((Get-Item -LiteralPath $place).User -ne [Environment]::UserName) { continue }
        if ($mode -band ([IO.UnixFileMode]'GroupWrite, OtherWrite')) { continue }
        foreach ($file in Get-ChildItem -LiteralPath $place -File) {
            if ($file.Name -notmatch '\A[A-Za-z0-9_-]+\z') { continue }
            if ($file.LinkType -or $file.Length -gt 512 -or $seen[$file.Name]) { continue }
            $line = try { [IO.File]::ReadAllText($file.FullName) } catch { '' }
            $match = [regex]::Match($line, $form, 'CultureInvariant')
            if (-not $match.Success) { continue }
            $expires = [long]$match.Groups[1].Value
            $left = $expires - $now
            if ($left -le 0 -or -not (__jit_alive $match.Groups[5].Value $match.Groups[6].Value)) { continue }
            $seen[$file.Name] = $true
            $tier = $match.Groups[3].Value
            $rank, $style = switch -CaseSensitive ($tier) {
                'production' { 1, '31' }
                'staging' { 2, '33' }
                'development' { 3, '32' }
                default { 3, '' }
            }
            if ($env:JIT_GRANT -ceq $file.Name) { $rank = 0 }
            if ($left -le 120) {
                $time = "ends in ${left}s"
                $style = (@('1;7', $style) | Where-Object { $_ }) -join ';'
            } elseif ($left -lt 3600) {
                $time = "$([Math]::Floor($left / 60))m"
            } else {
                $time = "$([Math]::Floor($left / 3600))h$([Math]::Floor($left % 3600 / 60))m"
            }
            $agent = $match.Groups[7].Value
            $text = "$($match.Groups[2].Value):$($match.Groups[4].Value) $time"
            if ($agent -cne '-') { $text += " ($agent)" }
            [pscustomobject]@{ Rank = $rank; Expires = $expires; Text = $text; Style = $style }
        }
    }
    $grants = @($grants | Where-Object { $_ } | Sort-Object 'Rank', 'Expires')
    $plain = @($grants | Select-Object -First 3 | ForEach-Object { $_.Text })
    $colours = -not $env:NO_COLOR -and $env:TERM -ne 'dumb'
    $shown = @($grants | Select-Object -First 3 | ForEach-Object {
        if ($colours -and $_.Style) { "$([char]27)[$($_.Style)m$($_.Text)$([char]27)[0m" } else { $_.Text }
    })
    if ($grants.Count -gt 3) {
        $plain += "+$($grants.Count - 3)"
        $shown += "+$($grants.Count - 3)"
    }
    $global:JIT_PROMPT = $plain -join ' '
    if ($shown) { ($shown -join ' ') + ' ' } else { '' }
}

# What a kill -9 left is told by its process: gone, or another one of the same number.
function global:__jit_alive([string]$process, [string]$started) {
    if ($started -eq '-') {
        return $null -ne (Get-Process -Id $process -ErrorAction Ignore)
    }
    $stat = try { [IO.File]::ReadAllText("/proc/$process/stat") } catch { return $false }
    $fields = $stat.Substring($stat.LastIndexOf(') ') + 2).Split(' ')
    return $fields[19] -ceq $started -and $fields[0] -notin 'Z', 'X'
}

if (-not $IsWindows) { $global:__jit_user = & id -u }

if (-not (Test-Path Variable:Global:__jit_prompt)) {
    $global:__jit_prompt = $function:prompt
    function global:prompt {
        # The prompt that was there sees the same $? and $LASTEXITCODE.
        $worked = $?
        $code = $global:LASTEXITCODE
        $segment = try { __jit_look } catch { '' }
        $global:LASTEXITCODE = $code
        if ($global:__jit_no_prompt) { $segment = '' }
        if (-not $worked) { Write-Error '' -ErrorAction Ignore }
        "$segment$(& $global:__jit_prompt)"
    }
}
